"""100,000 joins at a takeover with one unread message: how long the loop stands still, heard and unheard."""
import time, sys
sys.path.insert(0, ".")
from stepwire.state import Mailbox, Entry
from stepwire.join import judge, Rules
N=100_000
r=Rules(("a","b"),frozenset(),False,False,False,None,False,3600.,False,False,1e6)
raw=Entry({"kind":"part","slot":"a","id":"x","run":"r","scope":"","t":"a","p":0,"o":1,"at":5.0,"k":None}).encode()
m=Mailbox(0)
t=time.perf_counter()
for n in range(N): m.put(f"j/{n:032d}/a",raw)
print("restore",round(time.perf_counter()-t,2)); 
t=time.perf_counter(); s=m.callable(r,4.0); print("callable",round(time.perf_counter()-t,2))
def look():
    t=time.perf_counter()
    while m.touched:
        i,_=m.touched.popitem(last=False); j=m.joins[i]; v=judge(j,r,0.0)
        if j.reminded!=3605.: j.reminded=3605.; m.remind(3605.,"j/"+i)
    return round(time.perf_counter()-t,2)
print("look unheard",look()); m.unheard=5; m.hear(5); print("look again",look())
