using TorchSharp;
using TorchSharp.Modules;
using Tensor = TorchSharp.torch.Tensor;

namespace RepVgg.TorchSharp;

/// <summary>Modules and tensors that are registered in a module under names of several parts, e.g. <c>dbb_avg.bn.bn</c>.</summary>
/// <param name="root">The module.</param>
internal sealed class ModuleTree(torch.nn.Module root)
{
    private readonly Dictionary<string, torch.nn.Module> _modules = new(StringComparer.Ordinal);

    /// <summary>Registers a module.</summary>
    public void Add(string name, torch.nn.Module module)
    {
        var (parent, last) = Split(name);
        ModuleOf(parent).register_module(last, module);
        _modules.Add(name, module);
    }

    /// <summary>Registers a tensor, as a parameter if it is trained, otherwise as a buffer. A dispose scope of the caller does not dispose it.</summary>
    public void Add(string name, Tensor tensor, bool isTrained)
    {
        var (parent, last) = Split(name);
        var registered = isTrained ? new Parameter(tensor) : tensor;
        registered.DetachFromDisposeScope();
        if (registered is Parameter parameter)
            ModuleOf(parent).register_parameter(last, parameter);
        else
            ModuleOf(parent).register_buffer(last, registered);
    }

    /// <summary>Returns a registered parameter or buffer. It can be another object after the module was moved to another device or data type.</summary>
    public Tensor TensorOf(string name)
    {
        var (parent, last) = Split(name);
        var module = ModuleOf(parent);
        return module.get_parameter(last) ?? module.get_buffer(last)!;
    }

    /// <summary>Returns a registered batch norm.</summary>
    public BatchNorm2d NormOf(string name) => (BatchNorm2d)_modules[name];

    /// <summary>Removes all modules from the root and disposes them.</summary>
    public void Clear()
    {
        foreach (var (name, module) in _modules.Where(entry => !entry.Key.Contains('.')))
        {
            root.register_module(name, null!);
            module.Dispose();
        }
        _modules.Clear();
    }

    private torch.nn.Module ModuleOf(string name)
    {
        if (name.Length == 0)
            return root;
        if (!_modules.ContainsKey(name))
            Add(name, new Container());
        return _modules[name];
    }

    private static (string Parent, string Last) Split(string name)
    {
        int dot = name.LastIndexOf('.');
        return dot < 0 ? ("", name) : (name[..dot], name[(dot + 1)..]);
    }

    /// <summary>A module that only contains other modules and tensors.</summary>
    private sealed class Container() : torch.nn.Module(nameof(Container));
}
