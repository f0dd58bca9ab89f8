"""How certain is a number: bootstrap over slides, paired tests between methods, the effect of the training seed."""
