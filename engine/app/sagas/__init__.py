"""Sagas: work in steps that crosses transactions or services. Declared in `declarations`, moved by `machine`, kept by a
log. Knows neither SQL nor gRPC: stores and performers are ports.
"""
