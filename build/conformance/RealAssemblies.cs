using System.Reflection;
using System.Runtime.Loader;

namespace RepVgg.Conformance;

/// <summary>Loads real ML.NET assemblies from a folder, apart from the stand-in.</summary>
internal sealed class RealAssemblies : AssemblyLoadContext
{
    private readonly string _folder;

    private RealAssemblies(string folder)
        : base(nameof(RealAssemblies), isCollectible: true)
    {
        _folder = folder;
    }

    /// <summary>The assemblies of ML.NET that the surface list covers; those that the folder lacks are left out.</summary>
    /// <exception cref="DirectoryNotFoundException">There is no such folder.</exception>
    /// <exception cref="FileNotFoundException">The folder has no Microsoft.ML.Data.dll.</exception>
    public static Assembly[] Load(string folder, IEnumerable<string> names)
    {
        folder = Path.GetFullPath(folder);
        if (!Directory.Exists(folder))
            throw new DirectoryNotFoundException($"The folder of ML.NET's assemblies, '{folder}', does not exist.");
        string[] paths = [.. names.Select(name => Path.Combine(folder, name + ".dll")).Where(File.Exists)];
        if (!paths.Any(path => Path.GetFileName(path) == "Microsoft.ML.Data.dll"))
            throw new FileNotFoundException($"The folder '{folder}' has no Microsoft.ML.Data.dll.");
        var context = new RealAssemblies(folder);
        return [.. paths.Select(context.LoadFromAssemblyPath)];
    }

    protected override Assembly? Load(AssemblyName assemblyName)
    {
        // What the runtime has itself is shared; the rest comes from the folder.
        string path = Path.Combine(_folder, assemblyName.Name + ".dll");
        return assemblyName.Name!.StartsWith("Microsoft.ML", StringComparison.Ordinal) && File.Exists(path) ? LoadFromAssemblyPath(path)
            : CanShare(assemblyName) || !File.Exists(path) ? null : LoadFromAssemblyPath(path);
    }

    private static bool CanShare(AssemblyName name)
    {
        try
        {
            return Default.LoadFromAssemblyName(name) is not null;
        }
        catch (Exception e) when (e is FileNotFoundException or FileLoadException)
        {
            return false;
        }
    }
}
