"""How often seewhy and other tools tell a shortcut rightly on the same drawn networks, without hints."""
