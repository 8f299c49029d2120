"""An entity's money: where it lies, whose it is, what moving it costs."""
