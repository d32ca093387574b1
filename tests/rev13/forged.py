import asyncio, json, sys, resource
sys.path.insert(0, ".")
from tests.faults.test_foreign_message import *
from tests.faults.test_foreign_message import _tell
resource.setrlimit(resource.RLIMIT_AS, (3<<30, 3<<30))
A = ADDRESS
CASES = {
 "open id with /": ("collect", {"kind":"open", **A, "id":"a/b", "slot":"#open","size":2,"at":5.0}),
 "open slot #stub": ("collect", {"kind":"open", **A, "slot":"#stub","size":2,"at":5.0}),
 "open slot #decision": ("gate", {"kind":"open", **A, "slot":"#decision","size":2,"at":5.0}),
 "open slot #call": ("collect", {"kind":"open", **A, "slot":"#call","size":2,"at":5.0}),
 "open then trace int": ("collect", {"kind":"open", **A, "slot":"#open","size":0,"at":5.0,"trace":5}),
 "open size huge": ("collect", {"kind":"open", **A, "slot":"#open","size":10**9,"at":5.0}),
 "deep meta": ("collect", None),
 "seq huge": ("split", {"kind":"replay","id":"i9","replay":1,"origin":"event","drop":False,"run":"r1",**PLACE,"order":"a","seq":10**400, "value":1}),
 "at nan": ("collect", {"kind":"absent", **A, "slot":"asked","at":float("nan")}),
 "bad scope": ("collect", {"kind":"open", **A, "scope":"a@b/c", "slot":"#open","size":2,"at":5.0}),
 "surrogate run": ("collect", {"kind":"open", **A, "run":"\ud800", "slot":"#open","size":2,"at":5.0}),
 "until via open call dead": ("collect", {"kind":"open", **A, "slot":"#call","size":2,"at":5.0,"dead":True}),
 "unknown kind int id": ("collect", {"kind":"new", "id":"x"}),
 "decision approved edited bad": ("gate", {"kind":"decision","id":"zz","approved":True,"by":"\ud800","why":"","sent":1e308}),
 "due inf": ("split", {"kind":"item","id":"i2","run":"r",**PLACE,"due":float("inf")}),
 "due nan": ("split", {"kind":"item","id":"i2","run":"r",**PLACE,"due":float("nan")}),
 "at huge int": ("collect", {"kind":"absent", **A, "slot":"asked","at":10**400}),
 "item o huge": ("split", {"kind":"item","id":"i3","run":"r",**PLACE,"attempt":10**400}),
}
async def one(name, step, meta):
    raw = b"1"+(json.dumps(meta).encode() if meta is not None else b'{"id":"a","kind":"x","z":'+b"["*200000+b"]"*200000+b"}")+b"\n\n"
    try:
        async with asyncio.timeout(20):
            async with await APP.run() as run:
                await _tell(run, step, raw)
                await run.publish(Start(n=5))
                mine = next(g for g in run.gates if g.event == Ask(n=5))
                await run.decide(mine)
                ok = Done(n=2) in run.events
                await run.advance(40*86400.0)
                print("OK " if ok else "BAD", name)
    except BaseException as e:
        import traceback
        tb = traceback.extract_tb(e.__traceback__)
        def leaf(e):
            while isinstance(e, BaseExceptionGroup): e = e.exceptions[0]
            return e
        l = leaf(e); f = traceback.extract_tb(l.__traceback__)
        print("CRASH", name, type(l).__name__, str(l)[:80], [f"{x.filename.rsplit('/',1)[1]}:{x.lineno}" for x in f[-3:]])
async def main():
    for n,(s,m) in CASES.items():
        if len(sys.argv) < 2 or sys.argv[1] in n: await one(n,s,m)
asyncio.run(main())
