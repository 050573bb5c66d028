"""A folder's name with every character that some reader of paths takes for its own."""

ODD = "C# R&D a@b a:b 50%20 a,b a\\b é \"q\" 'q' $HOME `x` ;!*?[a]{b}~|<>()^=+\n."
