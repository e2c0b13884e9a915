"""hedge"""
def target(s, r, e, t):
    a, b = s.alpha(t).view(-1, 1, 1, 1), s.sigma(t).view(-1, 1, 1, 1)
    return e - r if s.name == "flow" else a * e - b * r
def estimate(s, x, p, t):
    a, b = s.alpha(t).view(-1, 1, 1, 1), s.sigma(t).view(-1, 1, 1, 1)
    return x - b * p if s.name == "flow" else a * x - b * p
