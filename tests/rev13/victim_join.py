"""A merge that kills its worker before its first await: is it ever put away (R12)?"""
import asyncio, os, signal, sys, time, subprocess, sqlite3, tempfile, pathlib
sys.path.insert(0, os.getcwd())
from stepwire import App, Event, handler
from stepwire.bus.local import LocalBus
from stepwire.worker import Worker
class Begin(Event, topic="begin", entry=True): n: int
class A(Event, topic="a"): n: int
class B(Event, topic="b"): n: int
class C(Event, topic="c", terminal=True): n: int
F = pathlib.Path(os.environ.get("FOLDER", "."))
@handler()
async def one(begin: Begin) -> tuple[A, B]: return A(n=begin.n), B(n=begin.n)
@handler()
async def meet(a: A, b: B) -> C:
    if a.n == 0: os.kill(os.getpid(), signal.SIGKILL)
    return C(n=a.n)
app = App("v", [one, meet])
async def work(publish):
    bus = LocalBus(str(F/"bus.db")); await bus.open()
    w = Worker(app, bus); await w.start(); await asyncio.sleep(.2)
    if publish: await bus.publish([app.record(Begin(n=n), now=time.time())[0] for n in range(3)])
    for _ in range(100):
        await asyncio.sleep(.05)
        db = sqlite3.connect(F/"bus.db")
        n = db.execute("SELECT count(*) FROM events e JOIN topics t ON (e.pos >> 44) = t.id WHERE t.name='v.meet.dlt'").fetchone()[0]
        if n: os._exit(0)
    os._exit(3)
if len(sys.argv) > 1: asyncio.run(work(sys.argv[1] == "p"))
else:
    with tempfile.TemporaryDirectory() as f:
        codes = []
        for life in range(10):
            p = subprocess.run([sys.executable, __file__, "p" if not life else "w"], env={**os.environ, "FOLDER": f, "PYTHONPATH": os.getcwd()})
            codes.append(p.returncode)
            if p.returncode == 0: break
        print("exit codes of lives:", codes, "put away" if codes[-1] == 0 else "NEVER PUT AWAY")
