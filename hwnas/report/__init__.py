"""Results for people: tables and progress on the terminal, pictures, cards, and the page of a search."""
