# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of the driver's requests have in common: an agent and a guest."""

import json
import subprocess
import unittest

from lib.agent import Agent, BINARY
from lib.vhost_user import COARSE, Guest

GRANULE = Guest.GRANULE


class Case(unittest.TestCase):
    ARGS = ()
    QUOTA = "16M"
    DEVICES = ("", "endpoint=9")

    def setUp(self):
        self.agent = self.enterContext(Agent(quota=self.QUOTA, devices=self.DEVICES,
                                             args=("--queues", "2", *COARSE,
                                                   *self.ARGS)))
        self.guest = self.enterContext(Guest(self.agent))
        # An endpoint is there while its device has a client.
        self.others = [self.agent.vfio_user(i) for i in range(1, len(self.DEVICES))]
        for client in self.others:
            self.addCleanup(client.close)

    def query(self, *words):
        done = subprocess.run([str(BINARY), "--query", self.agent.control_socket, *words],
                              capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    def stats(self):
        return self.query("stats")["vm"]

    def assertStatus(self, answer, status, index=0):
        self.assertEqual((answer.status, answer.index, answer.length), (status, index, 8), answer)

    def raw(self, data):
        return self.guest.send(data)
