"""What an audit leaves: its result, tables, pictures, charts and folder."""
