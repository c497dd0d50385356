"""The op table and the means to declare ops: specs, rules, public functions, argument checks, interpreters."""
