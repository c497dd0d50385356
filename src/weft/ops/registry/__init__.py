"""The op table, and what families of ops are declared with: specs, rules, functions, arguments, interpreters."""
