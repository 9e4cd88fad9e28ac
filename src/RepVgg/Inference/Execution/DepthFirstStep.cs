namespace RepVgg.Inference.Execution;

/// <summary>Takes a few images at a time through several steps; one item is one such group, the work of one thread.</summary>
/// <param name="plan">Its leading steps are done.</param>
/// <param name="windows">Each worker's own.</param>
/// <param name="together">Images of a group.</param>
internal sealed unsafe class DepthFirstStep(Plan plan, Window[] windows, int together) : Step
{
    public override int CountItems(Window window) => Groups(window).Count;

    public override void RunItem(Window window, int item, int worker)
    {
        var groups = Groups(window);
        int first = groups.First(item);
        var own = windows[worker];
        own.Open(window.Pixels + (long)first * plan.InputLength, null, groups.First(item + 1) - first);
        own.Move(plan.Between, window[plan.Between] + first * plan.Trailing.BufferFloats[(int)plan.Between]);
        foreach (var step in plan.Leading.Steps)
        {
            int items = step.CountItems(own);
            for (int i = 0; i < items; i++)
                step.RunItem(own, i, worker);
        }
    }

    private EvenParts Groups(Window window) => new(window.Images, together, windows.Length);
}
