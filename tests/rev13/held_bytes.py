"""How much a copy holds of mailboxes whose events are large: 9,000 entries of 100 kB."""
import asyncio, sys, tempfile, resource, pathlib
sys.path.insert(0, ".")
from tests.kafka.feigned import Feigned
from tests.kafka.test_foreign import APP, ASKED, WORK
from stepwire.bus.protocol import Out, Progress
from stepwire_handlers.services.copies import Copy
async def main():
    c=Feigned(APP); c.groups[WORK]={ASKED:Progress(0)}
    value=b'1{"kind":"item"}\n\n'+b"x"*100_000
    await c.publish([Out("a.do.state",f"i/{n}",{},value) for n in range(9000)])
    topics=dict.fromkeys(["asked","done","a.runs","a.do.dlt","a.do.control","a.do.state"],1)
    with tempfile.TemporaryDirectory() as f:
        copy=await Copy.begin(f+"/x.db",c,APP,topics)
        held=0
        settle=copy._settle
        def spy(pages,progress):
            nonlocal held
            held=max(held,sum(len(r.value) for p in pages for r in p.records)); settle(pages,progress)
        copy._settle=spy
        await copy.catch_up(); await copy.close()
        print(f"held at once: {held>>20} MiB of mailboxes before one transaction")
asyncio.run(main())
