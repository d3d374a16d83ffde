"""How translations are measured, while a model trains and afterwards: pairs, instruments, tables, reports."""
