# %% [markdown]
# # The load of this machine, and a feed of events
#
# Cells in the percent format: an editor that knows it (VS Code, PyCharm, Jupyter with Jupytext) runs them one by one,
# and `python examples/walkthrough.py` runs them all. A service must answer at UORO_URL, http://127.0.0.1:8000 unless
# that says otherwise, and create streams by itself, as `make run` does.
#
# The load is measured. The feed is simulated after public ones, such as the changes of a wiki: kinds of events, a
# crowd of people and robots, each robot going through a routine of its own. Nothing is fetched.

# %%
import os
import random
import time
from collections.abc import Iterator

import psutil

from uoro_client import Client, Observation

URL = os.environ.get("UORO_URL", "http://127.0.0.1:8000")
ROUNDS = int(os.environ.get("WALKTHROUGH_ROUNDS", "60"))
PREFIX = f"walkthrough/{int(time.time())}"
LOAD, FEED = f"{PREFIX}/load", f"{PREFIX}/feed"

client = Client(URL)
writer = client.writer()

# %% [markdown]
# ## The machine
#
# Four looks a second. The first answers are poor: a model that knows nothing starts here.

# %%
psutil.cpu_percent()
for _ in range(ROUNDS):
    time.sleep(0.25)
    load = {"cpu": psutil.cpu_percent(), "memory": psutil.virtual_memory().percent}
    reply = writer.observe(LOAD, load, t=time.time())

expected = reply.next.number("cpu")
print(
    f"cpu: {load['cpu']:.1f} % now, {expected.mean:.1f} % next, 90 % within {expected.lower:.1f} … {expected.upper:.1f}"
)

# %% [markdown]
# Ahead: the further, the wider. These are the same numbers that Grafana shows at their future times.

# %%
for steps, prediction in enumerate(client.predict(LOAD, horizon=8), start=1):
    ahead = prediction.number("cpu")
    print(f"  in {steps / 4:.2f} s: {ahead.mean:5.1f} % ({ahead.lower:.1f} … {ahead.upper:.1f})")

# %% [markdown]
# ## The feed
#
# Each event has a kind and the kind of its author. The kinds follow each other by habit; the model hears nothing of
# the habits but the events.

# %%
ROUTINES = (("edit", "edit", "categorize"), ("new", "edit", "log"), ("revert", "log"))


def feed(seed: int) -> Iterator[dict[str, str]]:
    """Events without end: people change one thing, robots go through a routine."""
    chance = random.Random(seed)
    while True:
        if chance.random() < 0.4:
            yield {"kind": chance.choice(("edit", "edit", "edit", "new", "log")), "author": "person"}
        else:
            for kind in chance.choice(ROUTINES):
                yield {"kind": kind, "author": "robot"}


events = feed(seed=1)
posted = writer.observe_many(FEED, [next(events) for _ in range(4000)])
metrics = client.metrics(FEED)
print(f"{posted.accepted} events; {metrics.loss:.2f} nats an event, {metrics.baseline_loss:.2f} by their frequencies")
likely = sorted(posted.next.category("kind").probabilities.items(), key=lambda pair: -pair[1])[:3]
print("next:", ", ".join(f"{kind} {probability:.0%}" for kind, probability in likely))

# %% [markdown]
# ## Something new
#
# Twenty deletions by a person, of which there was none before. The first one is what nobody expected.

# %%
client.snapshot(FEED, "before")
strange = writer.observe_many(FEED, [{"kind": "delete", "author": "person"}] * 20, full=True)
anomalies = [result.anomaly or 0.0 for result in strange.results]
print(f"anomaly of the first: {anomalies[0]:.4f}; of the last: {anomalies[-1]:.4f}")

# %% [markdown]
# What was learned from them can be taken back: a snapshot is the whole model.

# %%
client.restore(FEED, "before")
print("back at event", client.stream(FEED).last_seq)

# %% [markdown]
# ## Many at once
#
# One request may carry observations of many streams. Each has a model of its own.

# %%
crowd = [Observation(next(events), stream=f"{PREFIX}/site-{n % 5}") for n in range(500)]
shared = client.observe_streams(crowd)
print(f"{shared.accepted} events of {len(shared.streams or {})} sites")

# %%
for info in list(client.streams(prefix=PREFIX)):
    client.delete_stream(info.id)
client.close()
