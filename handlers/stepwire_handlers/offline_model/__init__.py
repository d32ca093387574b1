"""The offline model: a local server that speaks the Messages API and computes its answers by rules.

With it every flow runs without a key and without a network, through the same client code. It reads what it is sent
and nothing else; it finds the fields of documents in six languages, chooses by words, drafts from the facts of the
prompt, and says in every answer what it is. It is not a language model and does not pretend to be one.

    async with serve() as url:  # starts it as a process of its own
        claude = Claude(base_url=url)

or, from a shell, `python -m stepwire_handlers.offline_model --port 8085`.
"""

from stepwire_handlers.offline_model.launch import serve

__all__ = ["serve"]
