using TorchSharp;

namespace RepVgg.TorchSharp;

/// <summary>Fuses the RepVGG blocks of any TorchSharp network.</summary>
public static class DeployExtensions
{
    /// <summary>Fuses every RepVGG block in a module and its submodules, at any depth. Other submodules are not changed.</summary>
    /// <param name="module">A block, a backbone, or a network that contains blocks.</param>
    /// <returns>The number of blocks that were fused, without those that were fused already.</returns>
    /// <remarks>The outputs in evaluation mode do not change except for rounding. The parameters of the branches are disposed, so create optimizers after this call.</remarks>
    /// <exception cref="NotSupportedException">The training form of a block cannot be fused. No block is changed.</exception>
    public static int SwitchToDeploy(this torch.nn.Module module)
    {
        ArgumentNullException.ThrowIfNull(module);
        RepVggBlock[] blocks = [.. module.modules().Prepend(module).OfType<RepVggBlock>().Where(block => !block.IsDeployed).Distinct()];
        foreach (var block in blocks)
            block.RequireFusable();
        foreach (var block in blocks)
            block.SwitchToDeploy();
        return blocks.Length;
    }
}
