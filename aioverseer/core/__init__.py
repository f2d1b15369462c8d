"""Decisions: states, rules and values, with no input or output.

What lives in this package is pure: the same arguments give the same answer. Nothing in here may
import asyncio, os, time, random, logging, subprocess, socket or anyio; time and chance are passed in.
"""
