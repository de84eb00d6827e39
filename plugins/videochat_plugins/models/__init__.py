"""Networks and preprocessing that several stages share."""
