"""The worlds of the demo: what happens outside holdfast, as pure code that a driver plays request by request.

`payments` simulates card payments; `bikes` reads the real rides of 2011 and 2012. Neither knows a server.
"""
