"""The command line's conformance battery: every case of cases.py, each in a forked child.

    python tests/args/battery/check.py [-v] [--only ID,..]      # exit 1 when a case does not pass

It needs two functions of labwright.args:
    parse(model, argv, prog="run.py", env_prefix="LW_") -> instance     SystemExit(2) with the message on stderr
    completion(model, prog="run.py") -> str                              a shell completion script (needs shtab)
An error case passes at grade 3: flag, value, what is allowed, and a suggestion, as the case demands."""
import argparse, json, os, pickle, re, signal, sys, tempfile, traceback
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
import importlib
B = importlib.import_module(os.environ.get('CASES', 'cases'))


class Labwright:
    def parse(self, model, argv):
        from labwright.args import parse
        return parse(model, argv, prog="run.py", env_prefix="LW_")

    def completion(self, model):
        from labwright.args import completion
        return completion(model, prog="run.py")


def child(ad, case, argv, files, env, want_help=False, fn=None):
    """-> (status, payload, stdout, stderr); status: ok | exit:<code> | exc:<Type>"""
    d = tempfile.mkdtemp()
    for n, t in files.items(): Path(d, n).write_text(t)
    r = os.path.join(d, ".r"); so = os.path.join(d, ".o"); se = os.path.join(d, ".e")
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        os.chdir(d); os.environ.update(env); os.environ["COLUMNS"] = "160"; os.environ["NO_COLOR"] = "1"; os.environ["TERM"] = "dumb"
        f1 = os.open(so, os.O_WRONLY | os.O_CREAT); f2 = os.open(se, os.O_WRONLY | os.O_CREAT)
        os.dup2(f1, 1); os.dup2(f2, 2); sys.argv = ["run.py"]
        try:
            try:
                m = fn(ad) if fn else ad.parse(case.model, list(argv))
                sys.stdout.flush(); sys.stderr.flush()
                if fn: res = ("ok", m)
                else: res = ("ok", (m.model_dump(), m.model_dump(mode="json")))
            except SystemExit as e:
                c = e.code
                if isinstance(c, str): print(c, file=sys.stderr); c = 1
                res = (f"exit:{0 if c is None else c}", None)
            except BaseException as e:
                traceback.print_exc(); res = (f"exc:{type(e).__name__}", None)
            sys.stdout.flush(); sys.stderr.flush()
            pickle.dump(res, open(r, "wb"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    rd = lambda p: Path(p).read_text(errors="replace") if os.path.exists(p) else ""
    try: st, pl = pickle.load(open(r, "rb"))
    except Exception: st, pl = "exc:Crash", None
    return st, pl, rd(so), rd(se)

def same(a, b):
    if isinstance(b, dict):
        return isinstance(a, dict) and all(k in a and same(a[k], v) for k, v in b.items())
    return type(a) is type(b) and a == b or (isinstance(b, (int, float)) and not isinstance(b, bool) and isinstance(a, (int, float)) and not isinstance(a, bool) and a == b)

def message(text):
    """drop the usage block: it lists every flag and would make any error look precise"""
    m = re.search(r"(?im)^(?:\S+: )?error\b", text) or re.search(r"(?i)error:", text)
    if text.lstrip().lower().startswith("usage") and m: text = text[m.start():]
    text = "\n".join(l.strip("│╭╮╰╯─ ") for l in text.splitlines())
    return text

def safe(x):
    try: return repr(x)
    except Exception as e: return f"<unprintable {type(e).__name__}>"

def grade(st, so, se, err):
    """0 accepted or traceback, 1 message without location, 2 flag + reason, 3 flag + value + allowed + suggestion"""
    if st == "ok": return 0, "accepted"
    if st == "exit:0": return 0, "exit 0"
    if st.startswith("exc") or "Traceback (most recent call last)" in se + so: return 0, "traceback"
    msg = message(se if se.strip() else so)
    norm = lambda s: s.replace("-", "_").lower()
    nm = norm(msg)
    def named(fl):
        return re.search(r"(?<![a-z0-9])" + re.escape(norm(fl)) + r"(?![a-z0-9])", nm) is not None
    def located(fl):   # "--a.b.c" literally, or the parent path and the leaf as two words
        return named(fl) or ("." in fl and named(fl.rsplit(".", 1)[0]) and named(fl.rsplit(".", 1)[1]))
    flags = all(located(f) for f in err.flag)
    literal = all(named(f) for f in err.flag)
    if not (flags and re.search(err.reason, msg, re.I)): return (1, "no location") if msg.strip() else (0, "silent")
    full = literal and (err.value is None or err.value.lower() in msg.lower()) and all(a.lower() in msg.lower() or re.search(a, msg) if True else 0 for a in err.allowed)
    if err.suggest:
        body = nm
        for f in err.flag: body = re.sub(r"(?<![a-z0-9_.])" + re.escape(norm(f)) + r"(?![a-z0-9_])", "", body)
        full = full and re.search(r"(?<![a-z0-9_.])" + r"(_*)" + re.escape(norm(err.suggest)) + r"(?![a-z0-9])", body) is not None
    return (3, "full") if full else (2, "flag+reason")

def run_case(ad, c, argv):
    if c.kind == "value":
        st, pl, so, se = child(ad, c, argv, c.files, c.env)
        ok = st == "ok" and same(pl[0], c.want)
        note = "" if ok else (f"wrong value {safe(pl[0])}"[:300] if st == "ok" else st + " " + message(se or so).strip()[-300:])
        return ok, None, note
    if c.kind == "error":
        st, pl, so, se = child(ad, c, argv, c.files, c.env)
        g, why = grade(st, so, se, c.err)
        txt = f"[{st}] " + (safe(pl[0]) if st == "ok" else message(se if se.strip() else so).strip())
        return g >= 2, g, why + " || " + txt[-900:]
    if c.kind == "help":
        st, pl, so, se = child(ad, c, argv, c.files, c.env)
        bad = [p for p in c.has if not re.search(p, so + se)] + ["!" + p for p in c.hasnt if re.search(p, so + se)]
        if st != "exit:0": bad.append(st)
        return not bad, None, "" if not bad else f"{bad} || {(so+se)[-300:]}"
    if c.kind == "complete":
        st, pl, so, se = child(ad, c, argv, c.files, c.env, fn=lambda a: a.completion(c.model))
        ok = st == "ok" and all(h in pl for h in c.has)
        return ok, None, "" if ok else st + " " + se[-200:]
    if c.kind == "roundtrip":
        import yaml
        st, pl, so, se = child(ad, c, argv, c.files, c.env)
        if st != "ok": return False, None, "first parse " + st + " " + message(se).strip()[-200:]
        st2, pl2, so2, se2 = child(ad, c, [a for a in argv if not a.startswith("-") and ":" in a] and ["--config=eff.yaml", argv[0]] or ["--config=eff.yaml"], {"eff.yaml": yaml.safe_dump(pl[1])}, c.env)
        ok = st2 == "ok" and pl2[0] == pl[0]
        return ok, None, "" if ok else f"reload {st2} {pl2 and pl2[0]} vs {pl[0]} {message(se2).strip()[-300:]}"[:500]

def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--only")
    ap.add_argument("-v", action="store_true")
    a = ap.parse_args()
    ad = Labwright()
    only = set(a.only.split(",")) if a.only else None
    verdicts = []
    for c in B.CASES:
        if only and c.id not in only:
            continue
        ok, g, note = False, None, ""
        for argv in [c.argv, *c.any_of]:
            try:
                ok, g, note = run_case(ad, c, argv)
            except Exception as e:
                ok, g, note = False, 0 if c.kind == "error" else None, f"runner: {e!r}"
            if ok:
                break
        verdict = "pass" if (g == 3 if c.kind == "error" else ok) else "partial" if ok else "fail"
        verdicts.append(verdict)
        if a.v or verdict != "pass":
            print(f"{verdict:8}{'' if g is None else g} {c.id:20} {note}", flush=True)
    print({v: verdicts.count(v) for v in ("pass", "partial", "fail")}, "of", len(verdicts))
    return 0 if verdicts and set(verdicts) == {"pass"} else 1


if __name__ == "__main__":
    sys.exit(main())
