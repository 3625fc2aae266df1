"""Who may call: keys, the file that holds them, and how much one may ask for. No web and no engine here."""
