"""Messages: which rules tell what to whom, the outbox, delivery through plugins. docs/notifications.md is the way in.

A mark becomes a message on this way, and each file is one stop of it:

    cases      the journal leads to cases: students' days that must be judged
    days, windows, verdicts    what a day, a term and a rule say of it
    settings, rules            the rules themselves, as data, in versions
    told, truth, judging       what was told before, what of it is wrong now, and what is to be told
    audience, consent, addresses    who is told, and who not and why
    wording, sandbox, segments      the words, in each language
    outbox     drafts become rows, each once, in the transaction that closes their cases
    claims, budget, delivery, outcomes, unknown    one attempt at a time, and what came of it
    door       what a channel's plugin tells later: `services.messages`
    staff, troubles    messages to staff: rolls, trouble, the digest
    notifier   all of it, in one process at a time
    preview, reading, choices    what people see and decide
"""
