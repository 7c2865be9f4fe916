"""Tests of the services, against real servers, repositories and scripts."""
