"""Invoices: from a PDF that arrives to a reply that waits as a draft in the mailbox."""
