"""The same load in greensim: what it forecasts for a policy, the optimum, and the bound."""

import datetime
import json
import math
import os
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GREENSIM = os.path.join(ROOT, "build", "greensim")
SIMULATIONS = 20
PATIENCE_S = 600


class NoForecast(Exception):
    """Why there is none."""


def write_log(path, counts):
    """An access log of requests in the seconds in which they came."""
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    with open(path, "w", encoding="ascii") as file:
        for second, count in enumerate(counts):
            at = (start + datetime.timedelta(seconds=second)).strftime("%d/%b/%Y:%H:%M:%S %z")
            file.write('127.0.0.1 - - [%s] "GET / HTTP/1.1" 200 10\n' % at * count)


def simulate(log, model, words, seed):
    """What greensim's discrete mode prints as JSON."""
    done = subprocess.run([GREENSIM, "--access-log", log, "--model", model, "--mode", "discrete",
                           "--seed", str(seed), "--json", "--quiet", *words],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          errors="replace", timeout=PATIENCE_S, check=False)
    if done.returncode:
        raise NoForecast("greensim ended with %d: %s" % (done.returncode,
                                                         done.stderr.strip()[-200:]))
    return json.loads(done.stdout)


def by_policy(told):
    return {p["policy"]: p for p in told["policies"]}


def forecast(plan, policy, counts, model, simulations=SIMULATIONS):
    """greensim's runs of a policy on these arrivals, with a model as `greenctl model` prints
    it: {joules: [...], mean_on: [...], p99_ms: [...], late_percent: [...], optimum, bound}.
    NoForecast when it fails, or says what is no forecast."""
    try:
        told = _forecast(plan, policy, counts, model, simulations)
        watts = told["joules"] + [told["optimum"], told["bound"]]
        if not all(0 < joules < math.inf for joules in watts):
            raise NoForecast("greensim says joules that cannot be: %s" % watts)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoForecast("greensim cannot be run: %s" % error) from None
    except (ValueError, KeyError, TypeError) as error:
        raise NoForecast("greensim's answer is not understood: %r" % error) from None
    return told


def _forecast(plan, policy, counts, model, simulations):
    with tempfile.TemporaryDirectory(prefix="gb-experiment-") as folder:
        log, model_file = os.path.join(folder, "log"), os.path.join(folder, "model")
        write_log(log, counts)
        with open(model_file, "w", encoding="ascii") as file:
            json.dump(model, file)
        runs = [by_policy(simulate(log, model_file, plan.simulation(policy), seed + 1))
                for seed in range(simulations)]
    own = [run[policy] for run in runs]
    first = runs[0]
    return {"joules": [p["joules"] for p in own], "mean_on": [p["mean_on"] for p in own],
            "p99_ms": [p["p99_ms"] for p in own],
            "late_percent": [p["late_response_percent"] for p in own],
            "optimum": first["optimum"]["joules"], "bound": first["bound"]["joules"]}
