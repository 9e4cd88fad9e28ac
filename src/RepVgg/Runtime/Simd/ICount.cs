using System.Runtime.InteropServices;

namespace RepVgg.Runtime.Simd;

/// <summary>A number encoded as a type, so that the JIT compiles a specialized kernel for each number.</summary>
/// <remarks>
/// The size of the type in bytes equals the number. The JIT evaluates <c>sizeof</c> while it imports the code, so it does
/// not compile the branches that <c>if (sizeof(TCount) > 1)</c> excludes. A condition on <see cref="Value"/> is resolved
/// only later and would cost JIT time.
/// </remarks>
internal interface ICount
{
    /// <summary>The number.</summary>
    static abstract int Value { get; }
}

[StructLayout(LayoutKind.Sequential, Size = 1)]
internal readonly struct One : ICount
{
    public static int Value => 1;
}

[StructLayout(LayoutKind.Sequential, Size = 2)]
internal readonly struct Two : ICount
{
    public static int Value => 2;
}

[StructLayout(LayoutKind.Sequential, Size = 3)]
internal readonly struct Three : ICount
{
    public static int Value => 3;
}

[StructLayout(LayoutKind.Sequential, Size = 4)]
internal readonly struct Four : ICount
{
    public static int Value => 4;
}

[StructLayout(LayoutKind.Sequential, Size = 5)]
internal readonly struct Five : ICount
{
    public static int Value => 5;
}

[StructLayout(LayoutKind.Sequential, Size = 6)]
internal readonly struct Six : ICount
{
    public static int Value => 6;
}

[StructLayout(LayoutKind.Sequential, Size = 7)]
internal readonly struct Seven : ICount
{
    public static int Value => 7;
}

[StructLayout(LayoutKind.Sequential, Size = 8)]
internal readonly struct Eight : ICount
{
    public static int Value => 8;
}

[StructLayout(LayoutKind.Sequential, Size = 9)]
internal readonly struct Nine : ICount
{
    public static int Value => 9;
}

[StructLayout(LayoutKind.Sequential, Size = 10)]
internal readonly struct Ten : ICount
{
    public static int Value => 10;
}

[StructLayout(LayoutKind.Sequential, Size = 11)]
internal readonly struct Eleven : ICount
{
    public static int Value => 11;
}

[StructLayout(LayoutKind.Sequential, Size = 12)]
internal readonly struct Twelve : ICount
{
    public static int Value => 12;
}
