"What makes the book and tries it in a browser. Not part of the wheel."
