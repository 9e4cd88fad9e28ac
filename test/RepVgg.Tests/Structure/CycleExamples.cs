// Types for NamespaceCyclesTests. In each namespace under Cycles, Upper uses Lower.Part, which uses Upper in the way that the
// namespace's name says.
namespace RepVgg.Tests.Structure.Cycles.BaseType
{
    internal class Upper
    {
        private readonly object _part = new Lower.Part();

        public override string ToString() => $"{_part}";
    }
}

namespace RepVgg.Tests.Structure.Cycles.BaseType.Lower
{
    internal sealed class Part : Upper;
}

namespace RepVgg.Tests.Structure.Cycles.Interface
{
    internal interface IUpper
    {
        public static object Part => new Lower.Part();
    }
}

namespace RepVgg.Tests.Structure.Cycles.Interface.Lower
{
    internal sealed class Part : IUpper;
}

namespace RepVgg.Tests.Structure.Cycles.Field
{
    internal sealed class Upper
    {
        public static object Part => new Lower.Part();
    }
}

namespace RepVgg.Tests.Structure.Cycles.Field.Lower
{
    internal sealed class Part
    {
        public Dictionary<string, Upper[]> Field = [];
    }
}

namespace RepVgg.Tests.Structure.Cycles.Signature
{
    internal sealed class Upper
    {
        public static object Part => typeof(Lower.IPart);
    }
}

namespace RepVgg.Tests.Structure.Cycles.Signature.Lower
{
    internal interface IPart
    {
        void Method(List<Upper> argument);
    }
}

namespace RepVgg.Tests.Structure.Cycles.Attribute
{
    internal sealed class UpperAttribute : System.Attribute
    {
        public static object Part => new Lower.Part();
    }
}

namespace RepVgg.Tests.Structure.Cycles.Attribute.Lower
{
    internal sealed class Part
    {
        [Upper]
        public override string ToString() => "";
    }
}

namespace RepVgg.Tests.Structure.Cycles.Constraint
{
    internal interface IUpper
    {
        public static object Part => typeof(Lower.Part<>);
    }
}

namespace RepVgg.Tests.Structure.Cycles.Constraint.Lower
{
    internal sealed class Part<T>
        where T : IUpper;
}

namespace RepVgg.Tests.Structure.Cycles.MethodBody
{
    internal static class Upper
    {
        public static int Number() => new Lower.Part().GetHashCode();
    }
}

namespace RepVgg.Tests.Structure.Cycles.MethodBody.Lower
{
    internal sealed class Part
    {
        public override int GetHashCode() => Upper.Number();
    }
}

namespace RepVgg.Tests.Structure.Cycles.Lambda
{
    internal static class Upper
    {
        public static int Number() => new Lower.Part().GetHashCode();
    }
}

namespace RepVgg.Tests.Structure.Cycles.Lambda.Lower
{
    internal sealed class Part
    {
        private readonly Func<int> _function = () => Upper.Number();

        public override int GetHashCode() => _function();
    }
}

namespace RepVgg.Tests.Structure.Cycles.GenericCall
{
    internal sealed class Upper
    {
        public static object Part => new Lower.Part();
    }
}

namespace RepVgg.Tests.Structure.Cycles.GenericCall.Lower
{
    internal sealed class Part
    {
        public static object Nothing => Array.Empty<Upper>();
    }
}

namespace RepVgg.Tests.Structure.Three.First
{
    internal static class One
    {
        public static object Next => typeof(Second.Two);
    }
}

namespace RepVgg.Tests.Structure.Three.Second
{
    internal static class Two
    {
        public static object Next => typeof(Third.Three);
    }
}

namespace RepVgg.Tests.Structure.Three.Third
{
    internal static class Three
    {
        public static object Next => typeof(First.One);
    }
}

namespace RepVgg.Tests.Structure.OneWay
{
    internal sealed class Upper
    {
        private Upper? _self;

        public object Part => new Lower.Part();

        public Upper Self => _self ??= this;
    }
}

namespace RepVgg.Tests.Structure.OneWay.Lower
{
    internal sealed class Part;
}
