"""Sources of other profiles, as fixed mixtures of concentric Gaussians with one set of parameters each.

fit_profiles    The public function: read first
shapes          The profiles (pick one)
mixtures        The few Gaussians that stand for a profile, and how near they are
expansion       Sources as tied components, and back
profile_result  What comes back
"""
