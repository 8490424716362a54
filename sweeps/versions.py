"""Hand-bumped versions of the kinds of jobs: raise one when its number changes for the same settings.

Apart from the jobs themselves, so that a sweep can be planned without importing torch.
"""

EMBED = 1
SCORE = 2
FINETUNE = 2
PRETRAIN = 1
TASK2VEC = 1
BOUND = 2
HEAD2TOE = 1
HEAD2TOE_FT = 2
