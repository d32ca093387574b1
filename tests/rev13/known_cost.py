"""What the look for known runs costs when a copy is made: one partition with 50,000 foreign records."""
import asyncio, sys, tempfile, time
sys.path.insert(0, ".")
from tests.kafka.feigned import Feigned
from tests.kafka.test_foreign import APP, ASKED, WORK, raw
from stepwire.bus.protocol import Progress
from stepwire_handlers.services.copies import Copy
from stepwire_handlers.services import foreign
async def main():
    for off in (False, True):
        if off: foreign.Foreign.known = lambda *a: iter(())
        c=Feigned(APP); c.groups[WORK]={ASKED:Progress(50_000)}
        await c.publish([raw(n) for n in range(50_000)])
        topics=dict.fromkeys(["asked","done","a.runs","a.do.dlt","a.do.control","a.do.state"],1)
        with tempfile.TemporaryDirectory() as f:
            copy=await Copy.begin(f+"/x.db",c,APP,topics); t=time.perf_counter(); await copy.catch_up(); print("without" if off else "with", round(time.perf_counter()-t,2),"s"); await copy.close()
asyncio.run(main())
