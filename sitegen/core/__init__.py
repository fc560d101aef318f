"""What every stage uses: errors, places of mistakes, files that survive, texts, addresses, signals.

It knows nothing of models, media or sites, and imports nothing else of sitegen.
"""
