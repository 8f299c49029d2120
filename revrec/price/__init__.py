"""The price: estimates, material rights, financing, what is payable to customers or expected back."""
