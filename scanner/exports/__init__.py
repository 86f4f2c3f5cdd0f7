"""Result files. The only place, beside the JSON API, that says x and y: x is the column, y the row."""
