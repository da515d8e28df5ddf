"""Shortcuts planted in photographs, and photographs that hold one by themselves: what does the audit say?"""
