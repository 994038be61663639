"""Where certificates stand on their hosts."""
