"""The zoo: tables of pre-trained models (data only) and what loads them."""
