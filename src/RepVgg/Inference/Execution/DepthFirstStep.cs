namespace RepVgg.Inference.Execution;

/// <summary>
/// Runs all leading steps of a plan on a small group of images before it continues with the next group, so that the maps
/// stay in the cache. One item is one group, computed by one thread.
/// </summary>
/// <param name="plan">The plan whose leading steps are run.</param>
/// <param name="windows">One private window per worker.</param>
/// <param name="together">Maximum number of images in a group.</param>
internal sealed unsafe class DepthFirstStep(Plan plan, Window[] windows, int together) : Step
{
    public override int CountItems(Window window) => Groups(window).Count;

    public override void RunItem(Window window, int item, int worker)
    {
        var groups = Groups(window);
        int first = groups.First(item);
        var own = windows[worker];
        own.Open(window.Pixels.Skip((long)first * plan.InputLength), null, groups.First(item + 1) - first);
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
