"""What is done, in which order, and how long each may take: eight minutes together."""

from importlib import import_module

from benchmarks.gpu.parts import Bench, Part, Run, Tell


def late(module: str, function: str = "run", *given: str) -> Run:
    """A part's function, whose module is imported when it runs: what that lacks, the other parts may not need."""

    def run(bench: Bench, tell: Tell) -> None:
        getattr(import_module(f"benchmarks.gpu.{module}"), function)(*given, bench, tell)

    return run


# Parts of a stage run at once: those in which no time is measured. The next stage begins when all have ended.
STAGES = (
    (Part("card", "The card", 20, late("card")),),
    (
        Part("first-step", "First steps against the CPU's", 90, late("contract", "run", "test_first_step.py")),
        Part("resume", "Exact resume", 90, late("contract", "run", "test_resume.py")),
        Part("compiled-step", "A first step compiled", 90, late("contract", "run", "test_compiled.py")),
        Part("memory", "Memory", 90, late("contract", "run", "test_memory.py")),
        Part("contract", "The contract", 90, late("contract", "run", "test_contract.py")),
        Part("estimates", "What dry runs say of USIGAN", 90, late("steps", "estimates")),
        Part("other-estimates", "What dry runs say of other methods", 90, late("steps", "other_estimates")),
        Part("data", "Images", 60, late("data")),
    ),
    (Part("usigan", "USIGAN's step", 55, late("steps", "usigan")),),
    (Part("learning", "Two minutes of USIGAN", 130, late("learning")),),
    (Part("others", "The other methods' steps", 55, late("steps", "others")),),
    (Part("loader", "The loader", 35, late("loader")),),
    (Part("evaluation", "Evaluation", 30, late("evaluation")),),
    (Part("compiled", "torch.compile", 55, late("steps", "compiled")),),
)
