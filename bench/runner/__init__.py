"""What turns measurements into rows: compiling, peers, judging, host record, report."""
