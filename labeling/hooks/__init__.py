"""Webhooks: what happens in a project, told to other services by signed requests.

`collect` finds what is new and writes it down as deliveries, `announce` does so for what could not be found later,
`send` sends them as jobs, and tries again; `store` is their memory, and what people see. The form is that of Standard
Webhooks, so that libraries for it check signatures.
"""
