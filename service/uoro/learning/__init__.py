"""Online learning of one stream, useful without the service: predict, be told, learn, predict again.

    spec = StreamSpec.parse({"fields": {"value": {"type": "number"}}})
    learner = Learner.new(spec)
    for value in values:
        result = learner.observe(Observation({"value": value}))
        print(result.prediction, result.loss, result.next)

with `Learner` from `uoro.learning.learner`, `StreamSpec` from `uoro.learning.spec` and `Observation` from
`uoro.domain`. A learner is deterministic; `learner.dump()` is its whole state, `Learner.load` its inverse.
"""
