using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Fuses the RepVGG blocks of any TorchSharp network.</summary>
public static class DeployExtensions
{
    /// <summary>Walks a module and fuses every RepVGG block in it, wherever it lies; everything else stays as it is.</summary>
    /// <param name="module">A block, a backbone, or a network that holds some.</param>
    /// <returns>How many blocks were fused; those that were fused before do not count.</returns>
    /// <remarks>The outputs in evaluation mode stay the same but for rounding. The branches' parameters are disposed: make optimizers afterwards.</remarks>
    public static int SwitchToDeploy(this torch.nn.Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        RepVggBlock[] blocks = [.. module.modules().Prepend(module).OfType<RepVggBlock>().Where(block => !block.IsDeployed).Distinct()];
        foreach (var block in blocks)
            block.SwitchToDeploy();
        return blocks.Length;
    }
}
