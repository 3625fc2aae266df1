"""The forecast of a category target, compiled: what followed in the past, repeats and the recurrent core, mixed.

The state of a target is the arrays of `state.SymbolState`, views of the stream's block. The order of one step:

    mixture.forecast   →   (the forecast is judged)   →   learning.learn   →   matches.advance

A stream that does not learn leaves `learn` out; a missing symbol leaves out all but `forecast`.
"""
