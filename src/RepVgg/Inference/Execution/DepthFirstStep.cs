namespace RepVgg.Inference.Execution;

/// <summary>
/// Runs all leading steps of a plan on a small group of images before it continues with the next group, so that the maps
/// stay in the cache. One item is one group, computed by one thread.
/// </summary>
/// <param name="plan">The plan whose leading steps are run.</param>
/// <param name="workerContexts">One private context per worker.</param>
/// <param name="imagesPerGroup">Maximum number of images in a group.</param>
internal sealed unsafe class DepthFirstStep(Plan plan, StepContext[] workerContexts, int imagesPerGroup) : Step
{
    public override int CountItems(StepContext context) => Groups(context).Count;

    public override void RunItem(StepContext context, int item, int worker)
    {
        var groups = Groups(context);
        int first = groups.First(item);
        var group = workerContexts[worker];
        group.SetImages(context.Pixels.Skip((long)first * plan.InputLength), null, groups.First(item + 1) - first);
        group.SetBuffer(plan.StageBoundary, context[plan.StageBoundary] + first * plan.Trailing.BufferFloats[(int)plan.StageBoundary]);
        foreach (var step in plan.Leading.Steps)
        {
            int items = step.CountItems(group);
            for (int i = 0; i < items; i++)
                step.RunItem(group, i, worker);
        }
    }

    private Partition Groups(StepContext context) => new(context.Images, imagesPerGroup, workerContexts.Length);
}
