"""Webhooks: what happens in a project, told to other services by signed requests.

`collect` finds what is new and writes it down as deliveries, `send` sends them as jobs, and tries again; `store` is
both's memory, and what people see. The form is that of Standard Webhooks, so that libraries for it check signatures.
"""
