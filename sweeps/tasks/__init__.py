"""The tasks: tables of labelled data sets (data only) and what loads them."""
