"""Documents as they come in: their forms, their lines read and checked, their ids, what of them is personal."""
