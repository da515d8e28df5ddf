"""The command line: one thin command per public function; only it prints and sets an exit status."""
