"""What a cut did: tables, report.json, report.html."""
